;; Begins with more memory than a policy may have.
(component
  (core module $m (memory 1024))
  (core instance (instantiate $m)))
