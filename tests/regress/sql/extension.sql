-- The extension is there, in its schema.
select extname, nspname from pg_extension join pg_namespace on pg_namespace.oid = extnamespace where extname = 'lockstep';
