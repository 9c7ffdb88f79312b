// NodeCatalog
