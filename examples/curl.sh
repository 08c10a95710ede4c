#!/usr/bin/env bash
# Make a tune of one photo by curl and jq-free shell: bash examples/curl.sh http://127.0.0.1:7860 1.jpg
set -euo pipefail
api="$1/gradio_api"
file=$(curl -sf "$api/upload" -F "files=@$2" | tr -d '[]"')
body='{"photos": [{"path": "'$file'", "meta": {"_type": "gradio.FileData"}}], "title": "John Doe", "name": "person"}'
event=$(curl -sf "$api/call/v2/create_tune" -H "Content-Type: application/json" -d "$body" |
  sed 's/.*"event_id": *"\([^"]*\)".*/\1/')
curl -sfN "$api/call/create_tune/$event"
