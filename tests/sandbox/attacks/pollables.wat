;; Asks for one timer after the other and never drops one.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(func $run (param $call i32) (result i32)
  (loop $on (drop (call $after (i64.const 1000000000))) (br $on))
  unreachable)
