exports.handler = async task => {
  console.log('first line');
  console.log('second line');
  return task.data;
};
