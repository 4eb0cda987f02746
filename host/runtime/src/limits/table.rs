//! A table of limits: a line for each, of which the settings, their defaults, the configuration and the reference are made.

use std::time::Duration;

/// How an operator writes a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, as in `64MiB`.
    Size,
    /// A time, as in `500ms`.
    Time,
    /// A whole number, 1 or more.
    Count,
    /// A whole number a second; 0 is off.
    Rate,
}

/// One limit of the settings `S`, by the name that configuration, errors and metrics share. Amounts are bytes, milliseconds
/// or a number, by its unit.
#[derive(Debug)]
pub struct LimitKey<S: 'static> {
    /// Its key in the configuration.
    pub name: &'static str,
    /// How it is written.
    pub unit: Unit,
    /// What it limits.
    pub about: &'static str,
    /// The most that it can be set to.
    pub most: u64,
    /// Returns its default.
    pub default: fn() -> u64,
    /// Returns it.
    pub get: fn(&S) -> u64,
    /// Sets it.
    pub set: fn(&mut S, u64),
}

/// A limit's value, as configuration reads it and as code uses it.
pub(super) trait Amount: Copy {
    fn amount(self) -> u64;
    fn of(amount: u64) -> Self;
}

impl Amount for u64 {
    fn amount(self) -> u64 {
        self
    }
    fn of(amount: u64) -> Self {
        amount
    }
}

impl Amount for u32 {
    fn amount(self) -> u64 {
        self.into()
    }
    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }
}

impl Amount for usize {
    fn amount(self) -> u64 {
        self as u64
    }
    fn of(amount: u64) -> Self {
        Self::try_from(amount).unwrap_or(Self::MAX)
    }
}

impl Amount for Duration {
    fn amount(self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
    fn of(amount: u64) -> Self {
        Self::from_millis(amount)
    }
}

/// Makes a struct of settings with its defaults and its `KEYS`. A line is: documentation, the key's name, the field and its
/// type, the unit, the default, the most that it can be set to.
macro_rules! limits_table {
    (
        $(#[doc = $of:literal])*
        $settings:ident {
            $($(#[doc = $doc:literal])* $name:ident => $field:ident: $type:ident, $unit:ident, $default:expr, at most $most:expr;)*
        }
    ) => {
        $(#[doc = $of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $settings {
            $(
                #[doc = concat!("`", stringify!($name), "`:")]
                $(#[doc = $doc])*
                pub $field: $type,
            )*
        }

        impl Default for $settings {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $settings {
            /// Every limit that an operator can set.
            pub const KEYS: &'static [$crate::limits::table::LimitKey<Self>] = &[$(
                $crate::limits::table::LimitKey {
                    name: stringify!($name),
                    unit: $crate::limits::table::Unit::$unit,
                    about: concat!($($doc),*).trim_ascii_start(),
                    most: $most,
                    default: || $crate::limits::table::Amount::amount(Self::default().$field),
                    get: |limits| $crate::limits::table::Amount::amount(limits.$field),
                    set: |limits, amount| limits.$field = $crate::limits::table::Amount::of(amount),
                },
            )*];
        }
    };
}

pub(super) use limits_table;

#[cfg(test)]
pub(super) mod tests {
    use super::LimitKey;

    /// Panics unless each default is within what can be set, and each limit can be set to its maximum.
    pub(in crate::limits) fn assert_consistent<S: Copy + Default>(keys: &[LimitKey<S>]) {
        let defaults = S::default();
        for key in keys {
            let amount = (key.get)(&defaults);
            assert_eq!((key.default)(), amount, "{}", key.name);
            assert!(amount > 0 && amount <= key.most, "{}: {amount}", key.name);
            assert!(!key.about.is_empty(), "{}", key.name);
            let mut changed = defaults;
            (key.set)(&mut changed, key.most);
            assert_eq!((key.get)(&changed), key.most, "{}", key.name);
        }
    }
}
