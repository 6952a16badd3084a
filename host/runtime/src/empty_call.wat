(component
    (core module $module (func (export "nothing")))
    (core instance $instance (instantiate $module))
    (func (export "nothing") (canon lift (core func $instance "nothing"))))
