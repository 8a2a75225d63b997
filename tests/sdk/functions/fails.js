exports.handler = async () => {
  const error = new Error('the pump is dry');
  error.name = 'PumpError';
  throw error;
};
