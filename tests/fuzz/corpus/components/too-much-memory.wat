;; Its first memory exceeds the limit of a policy.
(component
  (core module $m (memory 1024))
  (core instance (instantiate $m)))
