//! Enums whose cases have one spelling everywhere.

/// Defines a fieldless enum with `ALL`, `name()`, `Display`, `FromStr` and JSON names.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$case_meta:meta])* $case:ident = $text:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name {
            $( $(#[$case_meta])* #[cfg_attr(feature = "serde", serde(rename = $text))] $case, )+
        }

        impl $name {
            /// All cases, in order of definition.
            pub const ALL: &'static [Self] = &[ $( Self::$case, )+ ];

            /// Name in JSON, logs and commands.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$case => $text, )+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::types::UnknownName;

            /// Reads a name in snake case or kebab case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let same = |name: &str| {
                    name.len() == text.len()
                        && name.bytes().zip(text.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
                };
                Self::ALL
                    .iter()
                    .copied()
                    .find(|case| same(case.name()))
                    .ok_or(crate::types::UnknownName { what: stringify!($name), names: &[ $( $text, )+ ] })
            }
        }
    };
}
