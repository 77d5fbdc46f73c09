"""What SQLAlchemy's tables cannot say: partitions of bars, the append-only audit log, views. Part of migration 0001."""

FIRST_YEAR, LAST_YEAR = 1990, 2040

PARTITIONS = f"""
DO $$
BEGIN
  FOR year IN {FIRST_YEAR}..{LAST_YEAR} LOOP
    EXECUTE format(
      'CREATE TABLE bars_%s PARTITION OF bars FOR VALUES FROM (%L) TO (%L)',
      year, make_timestamptz(year, 1, 1, 0, 0, 0, 'UTC'), make_timestamptz(year + 1, 1, 1, 0, 0, 0, 'UTC'));
  END LOOP;
END $$
"""
OTHER_YEARS = "CREATE TABLE bars_other PARTITION OF bars DEFAULT"

DAILY_PRICES = """
CREATE VIEW daily_prices AS
SELECT DISTINCT ON (bars.contract_id, bars.start, bars.source)
  bars.contract_id, symbols.symbol, bars.start, bars.end_time, bars.open, bars.high, bars.low, bars.close, bars.volume,
  bars.source, bars.basis, bars.revision, bars.ingest_time
FROM bars
LEFT JOIN LATERAL (
  SELECT symbol FROM symbols WHERE symbols.contract_id = bars.contract_id ORDER BY symbol_id LIMIT 1
) AS symbols ON true
WHERE bars.bar_size_seconds = 86400
ORDER BY bars.contract_id, bars.start, bars.source, bars.revision DESC
"""

# A code's version follows from when it was first evaluated, so it is the same after a rebuild.
STRATEGY_VERSIONS = """
CREATE VIEW strategy_versions AS
SELECT code_hash, strategy, first_seen,
  row_number() OVER (PARTITION BY strategy ORDER BY first_seen, code_hash) AS version
FROM strategies
"""

# The lock makes writers take turns, so that numbers have no gaps and each hash continues the one before.
AUDIT_CHAIN = """
CREATE FUNCTION audit_log_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  last audit_log%ROWTYPE;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('audit_log'));
  SELECT * INTO last FROM audit_log ORDER BY sequence DESC LIMIT 1;
  NEW.sequence := COALESCE(last.sequence, 0) + 1;
  NEW.previous_hash := COALESCE(last.hash, ''::bytea);
  NEW.hash := sha256(NEW.previous_hash || convert_to(jsonb_build_array(
    NEW.sequence, extract(epoch FROM NEW.at), NEW.actor, NEW.role, NEW.action, NEW.target, NEW.outcome,
    NEW.request_id, NEW.detail)::text, 'UTF8'));
  RETURN NEW;
END $$
"""
AUDIT_CHAIN_TRIGGER = (
    "CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_chain()"
)
AUDIT_STAYS = """
CREATE FUNCTION audit_log_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit_log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$
"""
AUDIT_STAYS_TRIGGER = (
    "CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log"
    " FOR EACH STATEMENT EXECUTE FUNCTION audit_log_stays()"
)

CREATE = (
    PARTITIONS,
    OTHER_YEARS,
    DAILY_PRICES,
    STRATEGY_VERSIONS,
    AUDIT_CHAIN,
    AUDIT_CHAIN_TRIGGER,
    AUDIT_STAYS,
    AUDIT_STAYS_TRIGGER,
)
DROP_BEFORE_TABLES = ("DROP VIEW daily_prices", "DROP VIEW strategy_versions")
DROP_AFTER_TABLES = ("DROP FUNCTION audit_log_chain()", "DROP FUNCTION audit_log_stays()")
