;; A function of no agent: gives a case that its variant does not have.
(func (export "test:foreign/it#f") (param i32) (result i32)
  (i32.const 200))
