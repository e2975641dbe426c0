//! SQL fragments on the application's tables. They are parsed under the search path of the user who fires a trigger, which may
//! contain that user's own operators. So `==` here stands for PostgreSQL's own equality, and IS DISTINCT FROM, which cannot be
//! qualified, is not used.

/// Qualifies the operators in a text.
pub fn qualified(text: &str) -> String {
    text.replace("==", "operator(pg_catalog.=)")
        .replace("<>", "operator(pg_catalog.<>)")
}

/// A condition: two expressions differ, with null as an ordinary value.
pub fn differ(one: &str, other: &str) -> String {
    format!(
        "((({one}) == ({other})) is not true and (({one}) is not null or ({other}) is not null))"
    )
}

/// The current time, as the application's columns without time zone store it.
pub const NOW: &str = "pg_catalog.timezone('utc', pg_catalog.clock_timestamp())";
