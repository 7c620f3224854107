;; Asks the memory for what it keeps, and gets what the attack's memory does: a panic, or no answer for ever.
(import "bandstand:agent/memory-slots@0.1.0" "get" (func $get (param i32 i32 i32)))
(data (i32.const 2048) "kept")
(func $run (param $call i32) (result i32)
  (call $get (i32.const 2048) (i32.const 4) (i32.const 6144))
  unreachable)
