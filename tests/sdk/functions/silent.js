exports.handler = async () => 'nothing to say';
