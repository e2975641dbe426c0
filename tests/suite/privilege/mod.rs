//! With whose rights operations run, and what callers cannot do with them.

mod bare_names;
mod call;
mod defaults;
mod flush;
mod people;
mod schemas;
mod search_path;
