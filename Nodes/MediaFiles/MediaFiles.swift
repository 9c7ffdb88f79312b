// media nodes
