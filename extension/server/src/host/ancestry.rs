//! Ancestors and descendants of namespaces as SQL fragments, with `==` for PostgreSQL's own equality.
//!
//! A namespace names its parent. The application also stores the ids from the root (`traversal_ids`), but old rows lack them and
//! they are wrong for a while after a group moves. So parents take precedence, and `traversal_ids` are used only where no parent
//! is available.

use super::Relation;

/// The application allows less nesting than this.
const DEEPEST: usize = 30;

/// An expression: the ids from the root to the namespace of that alias, including itself. Null if the namespace or a parent is
/// missing, or if the parents form a circle.
pub fn way_to(namespaces: &Relation, alias: &str) -> String {
    let table = namespaces.qualified_name();
    let above = |of: &str| format!("{}::pg_catalog.int8", parent_of(namespaces, of));
    format!(
        "(with recursive way (above, ids, before) as (
            select {above_first}, array[{alias}.id::pg_catalog.int8], {before_first} where {alias}.id is not null
            union all
            select {above_next}, n.id::pg_catalog.int8 operator(pg_catalog.||) w.ids, {before_next}
              from way w join {table} n on n.id == w.above
             where not (n.id == any (w.ids)) and pg_catalog.cardinality(w.ids) operator(pg_catalog.<) {DEEPEST})
          select case when w.above is null then w.before operator(pg_catalog.||) w.ids end
            from way w order by pg_catalog.cardinality(w.ids) desc limit 1)",
        above_first = above(alias),
        above_next = above("n"),
        before_first = before(namespaces, alias),
        before_next = before(namespaces, "n"),
    )
}

/// An expression: the full path of the namespace of that alias; null where [`way_to`] is null.
pub fn path_of(namespaces: &Relation, alias: &str) -> String {
    format!(
        "(select case when pg_catalog.bool_and(h.id is not null)
                      then pg_catalog.string_agg(h.path::pg_catalog.text, '/' order by t.place) end
            from pg_catalog.unnest({way}) with ordinality t (id, place) left join {table} h on h.id == t.id)",
        way = way_to(namespaces, alias),
        table = namespaces.qualified_name()
    )
}

/// A query: the ids of these namespaces and of all their descendants.
pub fn at_or_below(namespaces: &Relation, ids: &str) -> String {
    let table = namespaces.qualified_name();
    // Lets the planner use the application's index on parents, which covers groups only.
    let is_group = match namespaces.find_column("type") {
        Some(_) => "and n.type == 'Group'",
        None => "",
    };
    format!(
        "with recursive top (ids) as (select array({ids})), below (id) as (
           select n.id::pg_catalog.int8 from {table} n, top
            where n.id == any (top.ids) or ({above} is null and {before} operator(pg_catalog.&&) top.ids)
           union
           select n.id::pg_catalog.int8 from below b join {table} n on {above} == b.id {is_group})
         select b.id from below b",
        above = parent_of(namespaces, "n"),
        before = before(namespaces, "n"),
    )
}

fn parent_of(namespaces: &Relation, alias: &str) -> String {
    match namespaces.find_column("parent_id") {
        Some(column) => format!("{alias}.{}", column.quoted()),
        None => "null::pg_catalog.int8".to_owned(),
    }
}

/// The ancestors according to the application, if its `traversal_ids` end with this namespace.
fn before(namespaces: &Relation, alias: &str) -> String {
    match namespaces.find_column("traversal_ids") {
        Some(column) => {
            let ids = format!("{alias}.{}::pg_catalog.int8[]", column.quoted());
            let length = format!("pg_catalog.cardinality({ids})");
            format!(
                "case when ({ids})[{length}] == {alias}.id then ({ids})[:{length} operator(pg_catalog.-) 1]
                      else array[]::pg_catalog.int8[] end"
            )
        }
        None => "array[]::pg_catalog.int8[]".to_owned(),
    }
}
