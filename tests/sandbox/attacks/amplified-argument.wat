;; Hands the host 1,000 facts whose texts are all the same mebibyte of its memory: a gibibyte, if each were copied.
(import "bandstand:agent/memory-facts@0.1.0" "put" (func $put (param i32 i32 i32)))
(func $run (param $call i32) (result i32)
  (local $i i32) (local $fact i32)
  (drop (memory.grow (i32.const 20)))
  (memory.fill (i32.const 262144) (i32.const 0x78) (i32.const 1048576))
  (loop $on
    (local.set $fact (i32.add (i32.const 65536) (i32.mul (local.get $i) (i32.const 80))))
    (i32.store (local.get $fact) (i32.const 262144))
    (i32.store offset=4 (local.get $fact) (i32.const 1048576))
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $on (i32.lt_u (local.get $i) (i32.const 1000))))
  (call $put (i32.const 65536) (i32.const 1000) (i32.const 6144))
  unreachable)
