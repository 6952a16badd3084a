;; Imports an interface of WASI.
(component (import "wasi:cli/environment@0.2.0" (instance)))
