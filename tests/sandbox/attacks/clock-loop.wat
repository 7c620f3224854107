;; Asks for the time for ever: a host call that carries nothing.
(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
(func $run (param $call i32) (result i32)
  (loop $on (drop (call $now)) (br $on))
  unreachable)
