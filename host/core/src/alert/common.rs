//! A value that many alerts share in memory.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that its clones share. It is serialized like the value; a deserialized one is not shared yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Common<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Common<T> {
    /// Returns whether both are the same value in memory.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Clone for Common<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for Common<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default> Default for Common<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> From<T> for Common<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl From<&str> for Common<str> {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl<T: Serialize + ?Sized> Serialize for Common<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: ?Sized> Deserialize<'de> for Common<T>
where
    Box<T>: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Box::<T>::deserialize(deserializer)?.into()))
    }
}
