;; Has the host make a tebibyte of random bytes.
(import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
(func $run (param $call i32) (result i32)
  (call $random (i64.const 0x10000000000) (i32.const 6144))
  unreachable)
