//! The conditions of a match: each a column of the source and the constant that it has to equal.

use crate::error::{CacheColumnError, Result};
use lockstep_server::host::{Column, Relation};
use lockstep_server::{
    Statement, attempt, connected, jsonb_typeof, with_catalog_path, with_settings,
};
use pgrx::spi::quote_literal;
use serde_json::{Map, Value};
use std::ffi::CStr;

/// One `column = constant` of a match.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) column: Column,
    equality: String,
    constant: String,
}

impl Condition {
    pub(super) fn constant(&self) -> &str {
        &self.constant
    }

    /// Rewrites the constant to mean the same in every session.
    pub(super) fn make_canonical(&mut self) -> Result<()> {
        self.constant = canonical(&self.column, &self.constant)?;
        Ok(())
    }

    /// An enum still has the label that it is compared with.
    pub(super) fn check_label(&self) -> Result<()> {
        match self.column.is_enum() {
            true => canonical(&self.column, &self.constant).map(drop),
            false => Ok(()),
        }
    }

    /// The condition as SQL on the row called `row`.
    pub(super) fn sql(&self, row: &str) -> String {
        let Self {
            column,
            equality,
            constant,
        } = self;
        let name = column.quoted();
        match constant.as_str() {
            "true" if column.is_boolean() => format!("{row}.{name}"),
            "false" if column.is_boolean() => format!("not {row}.{name}"),
            // An operator would consider casts that users have defined for the type.
            _ if column.is_enum() => format!(
                "pg_catalog.enum_eq({row}.{name}, {}::{})",
                quote_literal(constant),
                column.type_name
            ),
            _ => format!(
                "{row}.{name} {equality} {}::{}",
                quote_literal(constant),
                column.comparison_type()
            ),
        }
    }
}

/// Reads a match and checks it against the source.
pub(super) fn conditions(matches: &Value, source: &Relation) -> Result<Vec<Condition>> {
    let matches: &Map<String, Value> = match matches {
        Value::Object(matches) if matches.is_empty() => {
            return Err(CacheColumnError::MatchEmpty.into());
        }
        Value::Object(matches) => matches,
        other => {
            return Err(CacheColumnError::MatchNotObject {
                actual: jsonb_typeof(other),
            }
            .into());
        }
    };
    matches
        .iter()
        .map(|(name, value)| condition(name, value, source))
        .collect()
}

fn condition(name: &str, value: &Value, source: &Relation) -> Result<Condition> {
    let constant = match value {
        Value::Null => {
            return Err(CacheColumnError::MatchNull {
                column: name.to_owned(),
            }
            .into());
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(CacheColumnError::MatchNested {
                column: name.to_owned(),
            }
            .into());
        }
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let column = source.column(name)?.clone();
    let fits = match column.category {
        'B' => value.is_boolean(),
        'N' => value.is_number(),
        _ => value.is_string(),
    };
    if !fits {
        return Err(CacheColumnError::ConstantType {
            column: name.to_owned(),
            expected: column.type_name,
            actual: jsonb_typeof(value).to_owned(),
        }
        .into());
    }
    if !column.has_builtin_type() {
        return Err(CacheColumnError::TypeNotBuiltIn {
            column: name.to_owned(),
            actual: column.type_name,
        }
        .into());
    }
    let Some(equality) = column.equality() else {
        return Err(CacheColumnError::NoEquality {
            column: name.to_owned(),
            actual: column.type_name,
        }
        .into());
    };
    Ok(Condition {
        column,
        equality,
        constant,
    })
}

/// Lets PostgreSQL parse the constant as the column's type under the caller's settings, and returns it in a form that means the
/// same in every session.
fn canonical(column: &Column, constant: &str) -> Result<String> {
    // The order of day and month follows the caller's settings; the output style does not, and includes the time zone.
    const STYLE: [(&CStr, &CStr); 2] = [(c"datestyle", c"iso"), (c"intervalstyle", c"postgres")];
    let literal = quote_literal(constant);
    let value = format!("{literal}::{}", column.type_name);
    let text = match column.is_enum() {
        // An enum label stands for itself. A cast to text may be user-defined.
        true => format!("select {literal}::pg_catalog.text where {value} is not null"),
        false => format!("select ({value})::pg_catalog.text"),
    };
    let read = attempt(move || {
        let query = Statement::new(&text, &[]);
        with_settings(&STYLE, || {
            with_catalog_path(|| connected(|| query.text(&[])))
        })
    });
    match read {
        Ok(canonical) => Ok(canonical.unwrap_or_default()),
        Err(failure) => Err(CacheColumnError::ConstantText {
            column: column.name.clone(),
            expected: column.type_name.clone(),
            message: failure.message,
        }
        .into()),
    }
}
