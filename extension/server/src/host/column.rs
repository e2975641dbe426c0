//! One column of a table.

use super::equality::default_equality;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::quote_identifier;
use std::num::NonZeroUsize;

/// A column, with its name and number in this table.
#[derive(Clone, Debug)]
pub struct Column {
    pub(super) number: i16,
    pub name: String,
    pub(super) type_oid: u32,
    pub collation: u32,
    /// How values of its type are stored, as in pg_type.typbyval and pg_type.typlen.
    pub by_value: bool,
    pub length: i16,
    /// The SQL name of its type, schema-qualified unless it is built in.
    pub type_name: String,
    /// The category of its type, as in pg_type.typcategory.
    pub category: char,
    pub(super) is_enum: bool,
    pub(super) is_generated: bool,
}

impl Column {
    /// Its number, counted from one.
    pub fn place(&self) -> NonZeroUsize {
        let number = usize::try_from(self.number)
            .ok()
            .and_then(NonZeroUsize::new);
        number.unwrap_or(NonZeroUsize::MIN)
    }

    pub fn quoted(&self) -> String {
        quote_identifier(&self.name)
    }

    /// The type that a constant needs for a comparison: varchar has no equality operator of its own and uses text's.
    pub fn comparison_type(&self) -> &str {
        match Oid::from(self.type_oid) {
            pg_sys::VARCHAROID => "pg_catalog.text",
            _ => &self.type_name,
        }
    }

    pub fn comparison_oid(&self) -> Oid {
        match Oid::from(self.type_oid) {
            pg_sys::VARCHAROID => pg_sys::TEXTOID,
            other => other,
        }
    }

    /// PostgreSQL's own equality for the type, qualified, so that nobody else's operator is used.
    pub fn equality(&self) -> Option<String> {
        default_equality(Oid::from(self.type_oid))
    }

    /// Text, or a type like text with a length limit.
    pub fn is_text(&self) -> bool {
        matches!(
            Oid::from(self.type_oid),
            pg_sys::TEXTOID | pg_sys::VARCHAROID
        )
    }

    pub fn is_integer_array(&self) -> bool {
        matches!(
            Oid::from(self.type_oid),
            pg_sys::INT2ARRAYOID | pg_sys::INT4ARRAYOID | pg_sys::INT8ARRAYOID
        )
    }

    pub fn type_oid(&self) -> Oid {
        Oid::from(self.type_oid)
    }

    pub fn is_boolean(&self) -> bool {
        Oid::from(self.type_oid) == pg_sys::BOOLOID
    }

    pub fn is_enum(&self) -> bool {
        self.is_enum
    }

    /// Whether its type is built in, so that reading and comparing values runs no user code.
    pub fn has_builtin_type(&self) -> bool {
        self.is_enum || self.type_oid < pg_sys::FirstNormalObjectId
    }

    pub fn is_generated(&self) -> bool {
        self.is_generated
    }

    /// The width of the integer type, if it is one.
    pub fn integer_width(&self) -> Option<IntegerWidth> {
        match Oid::from(self.type_oid) {
            pg_sys::INT2OID => Some(IntegerWidth::Two),
            pg_sys::INT4OID => Some(IntegerWidth::Four),
            pg_sys::INT8OID => Some(IntegerWidth::Eight),
            _ => None,
        }
    }
}

/// The integer types that a key can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerWidth {
    Two,
    Four,
    Eight,
}

impl IntegerWidth {
    /// Reads a value that PostgreSQL passes as these bits.
    pub fn integer(self, bits: usize) -> i64 {
        match self {
            Self::Two => i64::from(bits as i16),
            Self::Four => i64::from(bits as i32),
            Self::Eight => bits as i64,
        }
    }
}
