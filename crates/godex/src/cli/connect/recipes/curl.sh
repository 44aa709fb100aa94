curl -s @URL@/responses -H 'Authorization: Bearer @KEY@' \
  -H 'Content-Type: application/json' -d '{"model":"@MODEL@","input":"Say hello."}'
