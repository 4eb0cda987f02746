//! The macro for tables of limits. From one line for each limit it makes the settings and their defaults, and the keys by
//! which the configuration and its reference read them.

use std::time::Duration;

/// How an operator writes a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, as in `64MiB`.
    Size,
    /// A duration, as in `500ms`.
    Time,
    /// A whole number, 1 or more.
    Count,
    /// A whole number per second; 0 turns the limit off.
    Rate,
}

/// One limit of the settings `S`. Its amounts are in bytes, milliseconds or a count, depending on the unit.
#[derive(Debug)]
pub struct LimitKey<S: 'static> {
    /// The key in the configuration, and the name in errors and metrics.
    pub name: &'static str,
    /// How an operator writes it.
    pub unit: Unit,
    /// What it limits.
    pub about: &'static str,
    /// The lowest amount with which any module runs.
    pub least: u64,
    /// The highest amount that can be set.
    pub most: u64,
    /// Returns the default.
    pub default: fn() -> u64,
    /// Returns the amount.
    pub get: fn(&S) -> u64,
    /// Sets the amount.
    pub set: fn(&mut S, u64),
}

/// A type of limits, which converts to and from the amount that the configuration reads.
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

/// Makes a struct of settings with its defaults and its `KEYS`. A line consists of the documentation, the key, the field and
/// its type, the unit, the default, the maximum and, if nothing runs with less than some amount, the minimum.
macro_rules! limits_table {
    (
        $(#[doc = $of:literal])*
        $settings:ident {
            $($(#[doc = $doc:literal])* $name:ident => $field:ident: $type:ident, $unit:ident, $default:expr, at most $most:expr $(, at least $least:expr)?;)*
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
                    // The given one, if there is one.
                    least: [$($least,)? 0][0],
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
            assert!(
                amount > 0 && (key.least..=key.most).contains(&amount),
                "{}: {amount}",
                key.name
            );
            assert!(!key.about.is_empty(), "{}", key.name);
            let mut changed = defaults;
            (key.set)(&mut changed, key.most);
            assert_eq!((key.get)(&changed), key.most, "{}", key.name);
        }
    }
}
