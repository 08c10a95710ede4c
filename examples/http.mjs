// The product page's HTTP calls by Node 18 or later: a tune from photos, then a prompt that names it.
//   API_KEY=20-characters-or-more node examples/http.mjs http://127.0.0.1:7860 1.jpg 2.jpg
// Changed from the page: the address; built-in fetch and FormData, for node-fetch with form-data cannot send
// `form.append('prompt[super_resolution]', true)`: it throws; tune_id and strength are filled in; callbacks go where
// CALLBACK says, if it is set. New: photos that are URLs go as JSON; it waits for the pictures.
import fs from 'node:fs';
import path from 'node:path';

const [DOMAIN, ...photos] = process.argv.slice(2);
const headers = { Authorization: 'Bearer ' + (process.env.API_KEY ?? 'on-my-own-machine-any-key') };
const title = 'John Doe - UUID - 1234-6789-1234-56789';
const CALLBACK = process.env.CALLBACK ?? '';

async function send(url, options) {
  const response = await fetch(url, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

function createTune() {
  if (photos[0].startsWith('http')) {
    const tune = { title, base_tune_id: 690204, name: 'man', model_type: 'faceid', image_urls: photos };
    const json = { ...headers, 'Content-Type': 'application/json' };
    return send(DOMAIN + '/tunes', { method: 'POST', headers: json, body: JSON.stringify({ tune }) });
  }
  const formData = new FormData();
  formData.append('tune[title]', title);
  formData.append('tune[model_type]', 'faceid');
  formData.append('tune[base_tune_id]', 690204);
  formData.append('tune[name]', 'man');
  for (const file of photos) formData.append('tune[images][]', new Blob([fs.readFileSync(file)]), path.basename(file));
  formData.append('tune[callback]', CALLBACK);
  return send(DOMAIN + '/tunes', { method: 'POST', headers, body: formData });
}

const tune = await createTune();
const form = new FormData();
form.append('prompt[text]', `<faceid:${tune.id}:1> woman trekking in the alps`);
form.append('prompt[negative_prompt]', '');
form.append('prompt[super_resolution]', true);
form.append('prompt[face_correct]', true);
form.append('prompt[face_swap]', true);
form.append('prompt[callback]', CALLBACK);
let prompt = await send(DOMAIN + '/tunes/690204/prompts', { method: 'POST', headers, body: form });
while (!['done', 'failed'].includes(prompt.status)) {
  await new Promise((wake) => setTimeout(wake, 1000));
  prompt = await send(prompt.url, { headers });
}
console.log(`tune ${tune.id}: ${prompt.status},`, prompt.images);
