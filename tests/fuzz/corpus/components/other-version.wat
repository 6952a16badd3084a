;; A world of another version.
(component (instance $i) (export "upright:policy/types@9.0.0" (instance $i)))
