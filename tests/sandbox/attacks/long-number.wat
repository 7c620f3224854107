;; Its answer is a number of 900,000 digits.
(data (i32.const 65536) "{\22a\22:1.")
(func $run (param $call i32) (result i32)
  (drop (memory.grow (i32.const 20)))
  (memory.fill (i32.const 65543) (i32.const 0x37) (i32.const 900000))
  (i32.store8 (i32.const 965543) (i32.const 0x7d))
  (call $ok (i32.const 65536) (i32.const 900008)))
