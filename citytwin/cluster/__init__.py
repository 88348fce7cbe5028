"""A city beyond one machine: shards that count, one who merges, gateways that show. The first two are pure."""
