//! How values are written to columns and read from them.

use std::borrow::Cow;
use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::StoreError;

/// The character that escapes the zero character, which the database does not store in a text, and itself.
const ESCAPE: char = '\u{1a}';

/// A text that is stored with its zero characters escaped: a guest or a sender may write any text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored<'a>(pub(super) &'a str);

impl ToSql for Stored<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        escaped(self.0).as_ref().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            c => escaped.push(c),
        }
    }
    escaped.into()
}

/// Returns the text that was stored as [`Stored`].
fn unescaped(text: &str) -> String {
    if !text.contains(ESCAPE) {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ESCAPE if chars.next() == Some('0') => plain.push('\0'),
            c => plain.push(c),
        }
    }
    plain
}

/// A row of a result, whose columns are read by their place.
pub(super) trait Columns {
    fn column<'a, T: FromSql<'a>>(&'a self, at: usize) -> Result<T, StoreError>;

    fn int(&self, at: usize) -> Result<i64, StoreError> {
        self.column(at)
    }

    fn maybe_int(&self, at: usize) -> Result<Option<i64>, StoreError> {
        self.column(at)
    }

    /// Returns a number that was stored as one of 32 bits.
    fn count(&self, at: usize) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.int(at)?).unwrap_or(u32::MAX))
    }

    fn text(&self, at: usize) -> Result<String, StoreError> {
        Ok(unescaped(self.column(at)?))
    }

    fn maybe_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        Ok(self.column::<Option<&str>>(at)?.map(unescaped))
    }
}

impl Columns for Row {
    fn column<'a, T: FromSql<'a>>(&'a self, at: usize) -> Result<T, StoreError> {
        Ok(self.try_get(at)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_zero_characters_is_read_as_it_was_written() {
        for text in [
            "",
            "plain",
            "\0",
            "a\0b\u{1a}0\u{1a}1c\u{1a}",
            "\u{1a}\u{1a}\0\0",
        ] {
            let stored = escaped(text);
            assert!(!stored.contains('\0'), "{text:?}");
            assert_eq!(unescaped(&stored), text);
        }
        assert_ne!(escaped("\0"), escaped("\u{1a}0"));
    }
}
