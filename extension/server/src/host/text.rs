//! Parts of SQL text on the host's tables. It is parsed under the search path of whoever fires a trigger, who may have operators of
//! his own in it: `==` here stands for PostgreSQL's own equality, and IS DISTINCT FROM, which cannot be qualified, is not used.

/// Qualifies the operators of a text.
pub fn qualified(text: &str) -> String {
    text.replace("==", "operator(pg_catalog.=)")
        .replace("<>", "operator(pg_catalog.<>)")
}

/// A condition: two expressions differ, null being a value as any other.
pub fn differ(one: &str, other: &str) -> String {
    format!(
        "((({one}) == ({other})) is not true and (({one}) is not null or ({other}) is not null))"
    )
}

/// The time as the host's columns without a time zone hold it.
pub const NOW: &str = "pg_catalog.timezone('utc', pg_catalog.clock_timestamp())";
