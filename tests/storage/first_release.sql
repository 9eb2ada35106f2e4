-- A journal as the first release wrote it: its process was killed while a request was under way.
BEGIN TRANSACTION;
CREATE TABLE changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at REAL NOT NULL,
    tool TEXT NOT NULL,
    status TEXT NOT NULL,
    undoes TEXT,
    process TEXT NOT NULL,
    noted REAL NOT NULL,
    plan TEXT
);
INSERT INTO "changes" VALUES(2,'c1d7ec8d59d85',1790000004.0,'update_segment','done',NULL,'5a6231426f07f1ff',1790000006.0,NULL);
INSERT INTO "changes" VALUES(3,'c36664d2a3a64',1790000007.0,'delete_segment','done',NULL,'5a6231426f07f1ff',1790000009.0,NULL);
INSERT INTO "changes" VALUES(4,'c8ab5e0fe7a36',1790000010.0,'undo_change','done','c36664d2a3a64','5a6231426f07f1ff',1790000012.0,NULL);
INSERT INTO "changes" VALUES(5,'cae4f6be5d250',1790000015.0,'apply_plan','interrupted',NULL,'5a6231426f07f1ff',1790000019.0,'p0123456789ab');
INSERT INTO "changes" VALUES(6,'ce16f869050cb',1790000020.0,'delete_status','failed',NULL,'5a6231426f07f1ff',1790000022.0,NULL);
INSERT INTO "changes" VALUES(7,'c0c7dfb629b8c',1790000023.0,'delete_status','running',NULL,'5a6231426f07f1ff',1790000023.0,NULL);
CREATE TABLE dropped (undoable INTEGER NOT NULL);
INSERT INTO "dropped" VALUES(1);
CREATE TABLE plans (
    id TEXT PRIMARY KEY,
    made REAL NOT NULL,
    owner TEXT NOT NULL,
    steps TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0
);
INSERT INTO "plans" VALUES('p0123456789ab',1790000012.0,'me','[{"action": "create", "kind": "status", "before": null, "sent": {"name": "Новые", "sort": 1, "color": "#fffd7f"}, "known": [4740013], "after": null, "outcome": "planned", "undoes": null}, {"action": "update", "kind": "status", "before": {"id": 4740013, "name": "Тёплые", "sort": 2, "color": "#fff000", "type": 0, "is_default": false, "conditions": [["x"]], "account_id": 28805383}, "sent": {"name": "Горячие", "sort": 5}, "known": [], "after": null, "outcome": "planned", "undoes": null}]',1);
INSERT INTO "plans" VALUES('pfedcba987654',1790000013.0,'me','[{"action": "delete", "kind": "segment", "before": {"id": 51, "name": "Лучшие", "color": "ae003f", "customers_count": 48, "created_at": 1589615328, "updated_at": null, "account_id": 28805383, "custom_fields_values": [{"field_id": 272429, "field_name": "Скидка", "field_code": null, "field_type": "numeric", "values": [{"value": "15"}]}, {"field_id": 269473, "field_name": "Любимый помол", "field_type": "select", "values": [{"value": "В зёрнах", "enum_id": 381857, "enum_code": "beans"}]}, {"field_id": 272433, "field_name": "Начало акции", "field_type": "date", "values": [{"value": 1700000000}]}], "available_products_price_types": [288891], "unknown": {"of": ["the", "future"]}}, "sent": null, "known": [], "after": null, "outcome": "planned", "undoes": null}]',0);
CREATE TABLE steps (
    change TEXT NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (change, position)
);
INSERT INTO "steps" VALUES('c1d7ec8d59d85',0,'{"action":"update","kind":"segment","before":{"id":51,"name":"VIP","color":"6610f2","customers_count":48,"created_at":1589615328,"updated_at":null,"account_id":28805383,"custom_fields_values":[{"field_id":272429,"field_name":"Скидка","field_code":null,"field_type":"numeric","values":[{"value":"15"}]},{"field_id":269473,"field_name":"Любимый помол","field_type":"select","values":[{"value":"В зёрнах","enum_id":381857,"enum_code":"beans"}]},{"field_id":272433,"field_name":"Начало акции","field_type":"date","values":[{"value":1700000000}]}],"available_products_price_types":[288891],"unknown":{"of":["the","future"]}},"sent":{"name":"Лучшие","color":"ae003f","custom_fields_values":[{"field_id":272429,"values":[{"value":"20"}]},{"field_id":272441,"values":null}]},"known":[],"after":{"id":51,"name":"Лучшие","color":"ae003f","customers_count":48,"created_at":1589615328,"updated_at":null,"account_id":28805383,"custom_fields_values":[{"field_id":272429,"field_name":"Скидка","field_code":null,"field_type":"numeric","values":[{"value":"15"}]},{"field_id":269473,"field_name":"Любимый помол","field_type":"select","values":[{"value":"В зёрнах","enum_id":381857,"enum_code":"beans"}]},{"field_id":272433,"field_name":"Начало акции","field_type":"date","values":[{"value":1700000000}]}],"available_products_price_types":[288891],"unknown":{"of":["the","future"]}},"outcome":"done","undoes":null}');
INSERT INTO "steps" VALUES('c36664d2a3a64',0,'{"action":"delete","kind":"segment","before":{"id":51,"name":"Лучшие","color":"ae003f","customers_count":48,"created_at":1589615328,"updated_at":null,"account_id":28805383,"custom_fields_values":[{"field_id":272429,"field_name":"Скидка","field_code":null,"field_type":"numeric","values":[{"value":"15"}]},{"field_id":269473,"field_name":"Любимый помол","field_type":"select","values":[{"value":"В зёрнах","enum_id":381857,"enum_code":"beans"}]},{"field_id":272433,"field_name":"Начало акции","field_type":"date","values":[{"value":1700000000}]}],"available_products_price_types":[288891],"unknown":{"of":["the","future"]}},"sent":null,"known":[],"after":null,"outcome":"done","undoes":null}');
INSERT INTO "steps" VALUES('c8ab5e0fe7a36',0,'{"action":"create","kind":"segment","before":null,"sent":{"name":"Лучшие","color":"ae003f"},"known":[66,67],"after":{"id":96,"name":"Лучшие","color":"ae003f","customers_count":48,"created_at":1589615328,"updated_at":null,"account_id":28805383,"custom_fields_values":[{"field_id":272429,"field_name":"Скидка","field_code":null,"field_type":"numeric","values":[{"value":"15"}]},{"field_id":269473,"field_name":"Любимый помол","field_type":"select","values":[{"value":"В зёрнах","enum_id":381857,"enum_code":"beans"}]},{"field_id":272433,"field_name":"Начало акции","field_type":"date","values":[{"value":1700000000}]}],"available_products_price_types":[288891],"unknown":{"of":["the","future"]}},"outcome":"done","undoes":0}');
INSERT INTO "steps" VALUES('cae4f6be5d250',0,'{"action":"create","kind":"status","before":null,"sent":{"name":"Новые","sort":1,"color":"#fffd7f"},"known":[4740013],"after":{"id":4740099,"name":"Новые","sort":1,"color":"#fffd7f"},"outcome":"done","undoes":null}');
INSERT INTO "steps" VALUES('cae4f6be5d250',1,'{"action":"update","kind":"status","before":{"id":4740013,"name":"Тёплые","sort":2,"color":"#fff000","type":0,"is_default":false,"conditions":[["x"]],"account_id":28805383},"sent":{"name":"Горячие","sort":5},"known":[],"after":null,"outcome":"unknown","undoes":null}');
INSERT INTO "steps" VALUES('ce16f869050cb',0,'{"action":"delete","kind":"status","before":{"id":4740013,"name":"Тёплые","sort":2,"color":"#fff000","type":0,"is_default":false,"conditions":[["x"]],"account_id":28805383},"sent":null,"known":[],"after":null,"outcome":"failed","undoes":null}');
INSERT INTO "steps" VALUES('c0c7dfb629b8c',0,'{"action":"delete","kind":"status","before":{"id":4740013,"name":"Тёплые","sort":2,"color":"#fff000","type":0,"is_default":false,"conditions":[["x"]],"account_id":28805383},"sent":null,"known":[],"after":null,"outcome":"intent","undoes":null}');
INSERT INTO "steps" VALUES('c0c7dfb629b8c',1,'{"action":"delete","kind":"status","before":{"id":4740013,"name":"Тёплые","sort":2,"color":"#fff000","type":0,"is_default":false,"conditions":[["x"]],"account_id":28805383},"sent":null,"known":[],"after":null,"outcome":"planned","undoes":null}');
CREATE INDEX changes_undoes ON changes (undoes);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('changes',7);
COMMIT;
