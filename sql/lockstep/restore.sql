-- Checks rows that the database owner restores from a dump; the owner cannot write them in any other way. A row that lends a
-- role's rights is only accepted from someone who has these rights; other rows are skipped, so that the restore continues.
create function lockstep_internal.check_restored() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
  -- A superuser may restore rows of roles that do not exist yet.
  is_superuser constant boolean := (select r.rolsuper from pg_roles r where r.rolname = current_user);
  is_his boolean;
begin
  if tg_argv[0] = 'record' then
    new.recorded_by := current_user;
    return new;
  end if;
  if tg_table_name = 'cache_column_definition' then
    is_his := (select bool_and(pg_has_role(c.relowner, 'usage')) from pg_class c where c.oid in (new.target_table, new.source_table));
  elsif tg_table_name = 'backfill_job' then
    -- It runs as the owner of its table.
    is_his := (select pg_has_role(c.relowner, 'usage') from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where (n.nspname, c.relname) = ((parse_ident(new.target_table))[1], (parse_ident(new.target_table))[2]));
  else
    is_his := pg_has_role(to_regrole(new.owner), 'usage');
  end if;
  if is_superuser or is_his then
    return new;
  end if;
  raise warning using
    errcode = 'insufficient_privilege',
    message = format('a row of %s.%s is left out', tg_table_schema, tg_table_name),
    detail = format('Role "%s" has not the rights that it would lend, or these are of a role that does not exist: %s', current_user, to_jsonb(new)),
    hint = 'Restore it as a superuser, or as a member of that role.';
  return null;
end
$$;
comment on function lockstep_internal.check_restored() is 'lets the owner of the database restore what the owner may, and notes who restored a record';
revoke execute on function lockstep_internal.check_restored() from public;

create trigger check_restored before insert on lockstep_internal.cache_column_definition for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored();
create trigger check_restored before insert on lockstep.backfill_job for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored();
create trigger check_restored before insert on lockstep.feature_group for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored();
create trigger check_restored before insert on lockstep.feature_audit for each row
  when (current_user operator(pg_catalog.<>) 'lockstep_owner') execute function lockstep_internal.check_restored('record');
