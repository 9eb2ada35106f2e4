-- When the client of a sign-in was last told that it may do too little, until it has come for more.
ALTER TABLE sign_ins ADD COLUMN told_to_ask double precision;
