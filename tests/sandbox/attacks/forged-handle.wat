;; Writes to a stream that nobody gave it.
(import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
  (func $write (param i32 i32 i32 i32)))
(data (i32.const 2048) "hello")
(func $run (param $call i32) (result i32)
  (call $write (i32.const 1234567) (i32.const 2048) (i32.const 5) (i32.const 6144))
  unreachable)
