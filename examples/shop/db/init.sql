-- Run once, by the postgres image, when the database's volume is still empty.

create table products (
    id          integer generated always as identity primary key,
    name        text not null unique,
    price_cents integer not null check (price_cents >= 0),
    stock       integer not null check (stock >= 0)
);

create table orders (
    id         integer generated always as identity primary key,
    product_id integer not null references products,
    quantity   integer not null check (quantity > 0),
    status     text not null default 'received' check (status in ('received', 'shipped')),
    ordered_at timestamptz not null default now()
);

insert into products (name, price_cents, stock) values
    ('Teapot',          2450, 12),
    ('Tea, Darjeeling',  890, 60),
    ('Tea, Assam',       790, 45),
    ('Cup and saucer',  1200, 30),
    ('Strainer',         450, 25);
