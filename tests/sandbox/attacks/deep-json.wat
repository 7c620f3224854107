;; Its answer nests 100,000 lists: whoever reads it by recursion needs as much stack.
(data (i32.const 65536) "{\22a\22:")
(func $run (param $call i32) (result i32)
  (drop (memory.grow (i32.const 4)))
  (memory.fill (i32.const 65541) (i32.const 0x5b) (i32.const 100000))
  (memory.fill (i32.const 165541) (i32.const 0x5d) (i32.const 100000))
  (i32.store8 (i32.const 265541) (i32.const 0x7d))
  (call $ok (i32.const 65536) (i32.const 200006)))
