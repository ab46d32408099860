# Counts requests by status and by client. Used by benches/compare.

{
  if (match($0, /" [0-9][0-9][0-9] /)) by_status[substr($0, RSTART + 2, 3)]++
  if (by_client[$1]++ == 0) clients++
}

END {
  for (status in by_status) print status, by_status[status]
  print clients, "clients"
}
