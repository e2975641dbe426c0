//! Arguments of type jsonb.

#![allow(unsafe_code)]

use crate::error::ServerError;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{AnyElement, FromDatum};
use serde_json::Value;
use std::ffi::CStr;

/// An argument that is parsed. jsonb can be nested more deeply than serde reads. pgrx's own type calls that a bug.
pub struct Jsonb(pub Value);

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: Datum, is_null: bool, _: Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller passes a jsonb.
        let text = unsafe { text_of(datum) }?;
        match serde_json::from_str(&text) {
            Ok(value) => Some(Self(value)),
            Err(error) => {
                let detail = error.to_string();
                crate::error::Error::from(ServerError::Jsonb { detail }).raise()
            }
        }
    }
}

// SAFETY: it is read as its datum, which is not kept.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(argument: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the function is declared with an argument of type jsonb. All our functions take nulls as None.
        let value = unsafe { argument.unbox_arg_using_from_datum() };
        value.unwrap_or(Self(Value::Null))
    }
}

// SAFETY: its datum is a jsonb, as pgrx's type for it says.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = <pgrx::JsonB as SqlTranslatable>::TYPE_IDENT;
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> =
        <pgrx::JsonB as SqlTranslatable>::ARGUMENT_SQL;
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        <pgrx::JsonB as SqlTranslatable>::RETURN_SQL;
}

/// The text of a jsonb, not parsed: serde's own error for an argument would not say what is wrong with it.
pub fn jsonb_text(value: &AnyElement) -> Option<String> {
    if value.oid() != pg_sys::JSONBOID {
        return None;
    }
    // SAFETY: the value is a jsonb.
    unsafe { text_of(value.datum()) }
}

/// # Safety
///
/// The value is a jsonb.
unsafe fn text_of(value: Datum) -> Option<String> {
    // SAFETY: as promised; the function returns a newly allocated string.
    let text = unsafe { pgrx::direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(value)]) };
    text.map(|text| text.to_string_lossy().into_owned())
}

/// What `jsonb_typeof` returns for it.
pub fn jsonb_typeof(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
