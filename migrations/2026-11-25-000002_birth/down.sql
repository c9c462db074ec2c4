drop function first_waiting(text, text[]);
