//! What statements are called with. PostgreSQL's types are named in the call, so that nothing has to be prepared: a pooler would lose
//! that.

use std::time::SystemTime;

use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

pub(super) type Arguments<'a> = &'a [&'a dyn Argument];

pub(super) trait Argument: Sync {
    fn kind(&self) -> Type;
    fn value(&self) -> &(dyn ToSql + Sync);
}

impl<T: Kind + ToSql + Sync> Argument for T {
    fn kind(&self) -> Type {
        T::KIND
    }

    fn value(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

pub(super) trait Kind {
    const KIND: Type;
}

/// What lists have.
pub(super) trait Item {
    const LIST: Type;
}

macro_rules! kinds {
    ($($type:ty: $kind:ident;)*) => { $(impl Kind for $type { const KIND: Type = Type::$kind; })* };
}

macro_rules! lists {
    ($($type:ty: $kind:ident;)*) => { $(impl Item for $type { const LIST: Type = Type::$kind; })* };
}

kinds! {
    bool: BOOL;
    i32: INT4;
    i64: INT8;
    f64: FLOAT8;
    str: TEXT;
    String: TEXT;
    SystemTime: TIMESTAMPTZ;
    Value: JSONB;
}

lists! {
    u8: BYTEA;
    i64: INT8_ARRAY;
    &str: TEXT_ARRAY;
    String: TEXT_ARRAY;
    Option<&str>: TEXT_ARRAY;
}

impl<T: Kind + ?Sized> Kind for &T {
    const KIND: Type = T::KIND;
}

impl<T: Kind> Kind for Option<T> {
    const KIND: Type = T::KIND;
}

impl<T: Item> Kind for [T] {
    const KIND: Type = T::LIST;
}

impl<T: Item> Kind for Vec<T> {
    const KIND: Type = T::LIST;
}
