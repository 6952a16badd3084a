;; A core module, with instructions of every kind that can be changed.
(module
  (memory (export "memory") 1)
  (func (export "f") (param i32 f64) (result i32)
    (block (br_if 0 (i32.eqz (local.get 0))) (drop (f64.mul (local.get 1) (f64.const 0.5))))
    (i32.add (i32.load offset=8 (local.get 0)) (i32.const 1000000))))
