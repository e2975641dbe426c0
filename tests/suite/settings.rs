//! Session settings. None may change a column's result, or the order of locks.

use anyhow::Result;

use crate::database::cluster;
use crate::random::plan::Dice;

/// Each with non-default values. Excluded are settings that keep triggers from firing or the session from writing.
pub(crate) const SETTINGS: [(&str, &[&str]); 29] = [
    (
        "plan_cache_mode",
        &["force_custom_plan", "force_generic_plan"],
    ),
    ("enable_indexscan", &["off"]),
    ("enable_indexonlyscan", &["off"]),
    ("enable_bitmapscan", &["off"]),
    ("enable_seqscan", &["off"]),
    ("enable_tidscan", &["off"]),
    ("enable_sort", &["off"]),
    ("enable_nestloop", &["off"]),
    ("enable_hashjoin", &["off"]),
    ("enable_hashagg", &["off"]),
    ("enable_material", &["off"]),
    ("enable_memoize", &["off"]),
    ("random_page_cost", &["0", "1000000"]),
    ("cpu_index_tuple_cost", &["1000000"]),
    ("jit", &["on"]),
    ("jit_above_cost", &["0"]),
    ("work_mem", &["64kB", "1GB"]),
    ("debug_parallel_query", &["on"]),
    ("parallel_setup_cost", &["0"]),
    (
        "search_path",
        &["public, pg_catalog", "pg_temp, public", "nowhere, public"],
    ),
    ("DateStyle", &["German, DMY", "SQL, MDY"]),
    ("IntervalStyle", &["sql_standard", "iso_8601"]),
    ("TimeZone", &["Asia/Kathmandu"]),
    ("row_security", &["off"]),
    ("standard_conforming_strings", &["off"]),
    ("transform_null_equals", &["on"]),
    ("array_nulls", &["off"]),
    ("bytea_output", &["escape"]),
    ("extra_float_digits", &["-15", "3"]),
];

/// A third of the settings, each with one of its values. Compiling each statement would take longer than everything else.
pub(crate) fn draw(dice: &mut Dice) -> Vec<(&'static str, &'static str)> {
    SETTINGS
        .iter()
        .filter(|(name, _)| !name.starts_with("jit"))
        .map(|(name, values)| (dice.below(3), *name, dice.one_of(values)))
        .filter(|(chance, ..)| *chance == 0)
        .map(|(_, name, value)| (name, value))
        .collect()
}

/// The statements that set them in a session.
pub(crate) fn commands(settings: &[(&str, &str)]) -> Result<String> {
    let quote = |name: &str, value: &str| match name {
        "search_path" => value.to_owned(),
        _ => format!("'{value}'"),
    };
    // A plan that uses a disabled method looks expensive enough to be compiled, which takes seconds.
    let commands: String = std::iter::once(&("jit", "off"))
        .chain(settings)
        .map(|(name, value)| format!("set {name} = {};\n", quote(name, value)))
        .collect();
    spelled(&commands)
}

/// As the server spells it: before PostgreSQL 16 one had another name.
pub(crate) fn spelled(setting: &str) -> Result<String> {
    Ok(match cluster()?.major() {
        ..16 => setting.replace("debug_parallel_query", "force_parallel_mode"),
        _ => setting.to_owned(),
    })
}
