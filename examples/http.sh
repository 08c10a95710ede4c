#!/usr/bin/env bash
# The product page's HTTP calls by curl: a tune from photos, then a prompt that names it.
#
#   API_KEY=20-characters-or-more examples/http.sh http://127.0.0.1:7860 1.jpg 2.jpg
#
# Changed from the page: the address; tune_id and strength, which the page leaves to fill in; --form-string for the
# prompt's text, for curl takes -F name="<…" for the name of a file to read; the callbacks, which go where CALLBACK
# says, if it is set. New: a photo may be a URL; it waits for the pictures.
set -euo pipefail
url=$1; shift
key=(-H "Authorization: Bearer ${API_KEY:-on-my-own-machine-any-key}")
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
callback() { [ -z "${CALLBACK:-}" ] || printf -- '-F\n%s[callback]=%s\n' "$1" "$CALLBACK"; }
photos=()
for photo in "$@"; do
  case $photo in http*) photos+=(-F "tune[image_urls][]=$photo") ;; *) photos+=(-F "tune[images][]=@$photo") ;; esac
done
mapfile -t to < <(callback tune)
tune_id=$(curl -sS --fail-with-body -X POST "${key[@]}" "$url/tunes" \
  -F tune[title]="John Doe - UUID - 1234-6789-1234-56789" -F tune[name]=man -F tune[model_type]="faceid" \
  "${to[@]}" -F tune[base_tune_id]=690204 "${photos[@]}" | field id)
mapfile -t to < <(callback prompt)
prompt=$(curl -sS --fail-with-body -X POST "${key[@]}" "$url/tunes/690204/prompts" \
  --form-string prompt[text]="<faceid:$tune_id:1> woman trekking in the alps" -F prompt[negative_prompt]="" \
  -F prompt[super_resolution]=true -F prompt[face_correct]=true -F prompt[face_swap]=true "${to[@]}" | field url)
until answer=$(curl -sS --fail-with-body "${key[@]}" "$prompt") && [[ $(field status <<<"$answer") =~ done|failed ]]; do
  sleep 1
done
echo "tune $tune_id: $(field status <<<"$answer"), $(field images <<<"$answer")"
