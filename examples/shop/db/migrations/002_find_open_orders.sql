create index orders_open on orders (id) where status = 'received';
