import GRDB

/// The tables of the index. Migrations are only ever appended.
enum StoreSchema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1: store and journal") { db in
            try db.execute(
                sql: """
                    CREATE TABLE objects (
                        digest TEXT NOT NULL, suffix TEXT NOT NULL, bytes INTEGER NOT NULL,
                        modified INTEGER NOT NULL, inode INTEGER NOT NULL,
                        created REAL NOT NULL, used REAL NOT NULL, pinned INTEGER NOT NULL DEFAULT 0,
                        PRIMARY KEY (digest, suffix)) WITHOUT ROWID;
                    CREATE TABLE actions (
                        key TEXT PRIMARY KEY, node TEXT NOT NULL, version INTEGER NOT NULL,
                        seconds REAL NOT NULL, outputs TEXT NOT NULL, created REAL NOT NULL) WITHOUT ROWID;
                    CREATE TABLE products (
                        digest TEXT NOT NULL, suffix TEXT NOT NULL, key TEXT NOT NULL,
                        PRIMARY KEY (digest, suffix, key)) WITHOUT ROWID;
                    CREATE INDEX products_key ON products (key);
                    CREATE TABLE sources (
                        path TEXT PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL,
                        inode INTEGER NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
                    CREATE TABLE runs (
                        id INTEGER PRIMARY KEY AUTOINCREMENT, graph TEXT NOT NULL, path TEXT NOT NULL,
                        lease TEXT NOT NULL, started REAL NOT NULL, ended REAL, status TEXT NOT NULL);
                    CREATE INDEX runs_graph ON runs (graph, id);
                    CREATE TABLE instances (
                        run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
                        node TEXT NOT NULL, idx INTEGER NOT NULL, type TEXT NOT NULL, version INTEGER NOT NULL,
                        key TEXT, parameters TEXT NOT NULL, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
                        status TEXT NOT NULL, seconds REAL, policy TEXT NOT NULL, code TEXT, source TEXT, error TEXT,
                        PRIMARY KEY (run, node, idx)) WITHOUT ROWID;
                    CREATE INDEX instances_node ON instances (node, idx, run);
                    """)
        }
        migrator.registerMigration("2: source code of actions") { db in
            try db.execute(sql: "ALTER TABLE actions ADD COLUMN source TEXT")
        }
        migrator.registerMigration("3: peak memory") { db in
            try db.execute(sql: "ALTER TABLE actions ADD COLUMN memory TEXT; ALTER TABLE instances ADD COLUMN memory TEXT")
        }
        migrator.registerMigration("4: small artifacts") { db in
            // The bytes of an object that is no file.
            try db.execute(sql: "ALTER TABLE objects ADD COLUMN data BLOB")
        }
        migrator.registerMigration("5: what instances cost") { db in
            try db.execute(
                sql: """
                    CREATE TABLE costs (id INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, sample TEXT NOT NULL);
                    CREATE INDEX costs_node ON costs (node, id);
                    """)
        }
        return migrator
    }
}
