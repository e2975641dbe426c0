//! lockstep: derived columns of a GitLab-shaped database, kept consistent with the rows they are derived from.

#![deny(ffi_unwind_calls)]

mod attach;
mod backfill;
mod before_drop;
mod cache_column;
mod error;
mod feature;
mod home;
mod job;
mod service_account;
mod sweep;
mod transaction;

#[cfg(not(panic = "unwind"))]
compile_error!("PostgreSQL's errors cross Rust frames by unwinding: build with panic = \"unwind\"");

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!(
    "../../../sql/lockstep/schema.sql",
    name = "schema",
    bootstrap
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/cache_column.sql",
    name = "cache_column",
    requires = [
        cache_column::installed::drift::begin_cache_column_drift,
        cache_column::installed::drift::cache_column_drift_rows,
        cache_column::installed::state::cache_column_state
    ]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/backfill.sql",
    name = "backfill",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/feature.sql",
    name = "feature",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/feature_view.sql",
    name = "feature_view",
    requires = [feature::list::list_features, "feature"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/job.sql",
    name = "job",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/restore.sql",
    name = "restore",
    requires = ["cache_column", "backfill", "feature"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/retention.sql",
    name = "retention",
    requires = ["feature", "job"]
);
pgrx::extension_sql_file!(
    "../../../sql/lockstep/ownership.sql",
    name = "ownership",
    finalize
);

/// Called once, when a backend loads the library, or when the server starts, if it is preloaded.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    lockstep_server::init(c"lockstep", transaction::AT_END);
    backfill::register_launcher();
}
