  console.log(1);
