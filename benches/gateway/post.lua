-- Sends one body again and again, and prints the figures as a line of JSON. The argument is the body's file.

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = '{"requests":%d,"microseconds":%d,"failed":%d,"p50":%.1f,"p99":%.1f}'
  print(string.format(line, summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
