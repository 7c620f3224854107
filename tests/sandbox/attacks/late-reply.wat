;; Answers well, half a second late.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(data (i32.const 2048) "{}")
(func $run (param $call i32) (result i32)
  (call $block (call $after (i64.const 500000000)))
  (call $ok (i32.const 2048) (i32.const 2)))
