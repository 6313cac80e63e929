console.log(2);

